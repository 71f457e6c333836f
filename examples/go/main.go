// Classifies a photo and a sentence by a client that is generated from onnxd's own description:
//
//	curl -s 127.0.0.1:8080/openapi.json -o openapi.json
//	openapi-generator-cli generate -g go -i openapi.json -o onnxd \
//	    --additional-properties=packageName=onnxd,withGoMod=false \
//	    --global-property=models,apis,supportingFiles,apiTests=false,modelTests=false
//	(cd onnxd && go mod init onnxd)
//	go run . http://127.0.0.1:8080 photo.jpg "What a waste of two hours."
//
// The generated client needs Go's standard library alone.
package main

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"os"

	"onnxd"
)

func main() {
	if len(os.Args) != 4 {
		fmt.Fprintln(os.Stderr, "usage: classify URL PHOTO SENTENCE")
		os.Exit(2)
	}
	url, photo, sentence := os.Args[1], os.Args[2], os.Args[3]
	config := onnxd.NewConfiguration()
	config.Servers = onnxd.ServerConfigurations{{URL: url}}
	client := onnxd.NewAPIClient(config)
	if err := classify(context.Background(), client, photo, sentence); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func classify(ctx context.Context, client *onnxd.APIClient, photo, sentence string) error {
	file, err := os.ReadFile(photo)
	if err != nil {
		return err
	}
	encoded := base64.StdEncoding.EncodeToString(file)
	image := onnxd.NewPredictRequest()
	image.SetImage(onnxd.ImageInput{String: &encoded})
	if err := ask(ctx, client, photo, image); err != nil {
		return err
	}
	text := onnxd.NewPredictRequest()
	text.SetText(onnxd.TextInput{String: &sentence})
	return ask(ctx, client, sentence, text)
}

// ask lets the model that takes this kind of input answer, and prints the best class.
func ask(ctx context.Context, client *onnxd.APIClient, what string, request *onnxd.PredictRequest) error {
	answer, _, err := client.PredictAPI.Predict(ctx).PredictRequest(*request).TopK(3).Execute()
	if err != nil {
		return explained(err)
	}
	for _, prediction := range answer.Result {
		classes := prediction.ClassesPrediction
		if classes == nil {
			return fmt.Errorf("%s gives no classes", answer.Model)
		}
		fmt.Printf("%s: %s %.3f (%s)\n", what, classes.Label, classes.Score, answer.Model)
	}
	return nil
}

// explained is the server's own words, where it gave some: the field, what was expected and what came.
func explained(err error) error {
	var failed *onnxd.GenericOpenAPIError
	if errors.As(err, &failed) {
		if problem, ok := failed.Model().(onnxd.Problem); ok {
			return fmt.Errorf("%d %s: %s", problem.Status, problem.Title, problem.Detail)
		}
	}
	return err
}
