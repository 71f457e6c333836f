#!/bin/sh
# A photo, sentences, rows and tensors by curl, and what a refusal says. Wants curl and jq.
#
# Usage: predict.sh [PHOTO]    ONNXD_URL: the server, http://127.0.0.1:8080 by default
set -eu
url=${ONNXD_URL:-http://127.0.0.1:8080}
photo=${1:-$(dirname "$0")/../tests/fixtures/images/jpeg-coffee.jpg}
json='content-type: application/json'

# A file goes as it is. --fail-with-body prints a refusal, and exits with status 22.
ask() { curl --silent --show-error --fail-with-body "$@"; }

echo "-- a photo"
ask "$url/predict?top_k=2" -H 'content-type: image/jpeg' --data-binary "@$photo" |
    jq -r '.result[0].classes[] | "\(.label) \(.score)"'

echo "-- two photos in one request"
ask "$url/predict" -F "image=@$photo" -F "image=@$photo" | jq -r '.result[].label'

# jq makes the JSON, so that quotes and line breaks in a text do no harm.
echo "-- a sentence"
jq -n --arg text 'It said "one size fits all". It does not.' '{text: $text}' |
    ask "$url/predict" -H "$json" --data-binary @- | jq -r '.result[0] | "\(.label) \(.score)"'

echo "-- rows of features, by name"
ask "$url/predict/iris" -H "$json" -d '{"features": {"sepal_length": [5.1, 6.7], "sepal_width": [3.5, 3.0],
    "petal_length": [1.4, 5.2], "petal_width": [0.2, 2.3]}}' | jq -r '.result[].label'

echo "-- tensors, by the Open Inference Protocol"
ask "$url/v2/models/iris/infer" -H "$json" -d '{"inputs": [{"name": "features", "shape": [1, 4],
    "datatype": "FP32", "data": [5.1, 3.5, 1.4, 0.2]}]}' | jq -c '.outputs[] | {name, shape, data}'

echo "-- a row that is too short"
curl --silent "$url/predict/iris" -H "$json" -d '{"features": [[5.1, 3.5, 1.4]]}' |
    jq -r '"\(.status) \(.detail)"'
