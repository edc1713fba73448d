"""Serves a model directory by SageMaker's container contract, as AWS's framework images do.

`python -m sandbox.model_server` answers ``GET /ping`` and ``POST /invocations`` on
127.0.0.1:$SAGEMAKER_BIND_TO_PORT (default 8080) with the handler functions of $SAGEMAKER_PROGRAM (default
inference.py) in $SAGEMAKER_BASE_DIR/model/code. The semantics of handlers are those of AWS's own
sagemaker-inference toolkit, which runs in this process.
"""

from __future__ import annotations

EXIT_LOAD_FAILED = 3
"""Exit status when the handlers or the model did not load; the traceback's last line on stderr says why."""
