"""Requests over one stream of gRPC, which tritonclient alone has."""

import queue

import numpy as np

INPUT1 = np.ones((1, 16), np.int32)


def ask(grpc, number: int, **options) -> None:
    arrays = {"INPUT0": np.full((1, 16), number, np.int32), "INPUT1": INPUT1}
    grpc.client.async_stream_infer("sum-difference", grpc.inputs(arrays), request_id=str(number), **options)


def test_answers_come_in_order(grpc):
    answers = queue.SimpleQueue()
    grpc.client.start_stream(lambda result, error: answers.put((result, error)))
    for number in range(50):
        ask(grpc, number)
    for number in range(50):
        result, error = answers.get(timeout=30)
        assert error is None
        assert result.get_response().id == str(number)
        assert result.as_numpy("OUTPUT0").tolist() == [[number + 1] * 16]
    grpc.client.stop_stream()


def test_an_error_does_not_end_the_stream(grpc):
    answers = queue.SimpleQueue()
    grpc.client.start_stream(lambda result, error: answers.put((result, error)))
    ask(grpc, 1)
    ask(grpc, 2, model_version="99")
    ask(grpc, 3)
    first, second, third = (answers.get(timeout=30) for _ in range(3))
    assert first[1] is None and third[1] is None
    assert second[0] is None and "99" in second[1].message()
    assert third[0].as_numpy("OUTPUT1").tolist() == [[2] * 16]
    grpc.client.stop_stream()


def test_a_stream_may_be_cancelled(grpc):
    answers = queue.SimpleQueue()
    grpc.client.start_stream(lambda result, error: answers.put((result, error)))
    turns = grpc.input("turns", np.array(2**40, np.int64))
    grpc.client.async_stream_infer("slow", [turns])
    ask(grpc, 1)
    grpc.client.stop_stream(cancel_requests=True)
    # The network that ran for it is free again.
    turns = grpc.input("turns", np.array(2, np.int64))
    assert grpc.client.infer("slow", [turns]).as_numpy("sum") == 128
