module classify

go 1.23

require onnxd v0.0.0

// Generated from GET /openapi.json, see main.go.
replace onnxd => ./onnxd
