"""The service that people write by hand: FastAPI, uvicorn, ONNX Runtime.

    uvicorn fastapi_app:app --workers 2 --loop uvloop --http httptools --no-access-log

A worker for each core. `POST /predict` takes an image's file, or JSON with a `text`.
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio.to_thread
from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import JSONResponse
from starlette.concurrency import run_in_threadpool

from model import load

# Requests of a worker that are in work at the same time. The default, 40, makes all of them late.
THREADS = int(os.environ.get("THREADS", "2"))


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    anyio.to_thread.current_default_thread_limiter().total_tokens = THREADS
    app.state.model = load()
    yield


app = FastAPI(lifespan=lifespan)


def answer(body: bytes) -> dict:
    model = app.state.model
    try:
        row = model.prepare(body)
    except (OSError, ValueError, KeyError) as error:
        raise HTTPException(400, str(error)) from error
    return {"result": model.predict([row])}


@app.post("/predict")
async def predict(request: Request) -> JSONResponse:
    return JSONResponse(await run_in_threadpool(answer, await request.body()))
