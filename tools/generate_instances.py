"""Write the table of instance types for endpoints and transform jobs, from botocore's model of the API.

Run ``python tools/generate_instances.py`` after `make pins` has moved botocore, and commit what changed.
The library itself reads the table only: botocore stays off the synth path.
"""

from __future__ import annotations

import json
from pathlib import Path

import botocore
import botocore.session

TABLE = Path(__file__).resolve().parents[1] / "constructs" / "sagemaker_serving" / "instance_types.json"
ENUMERATIONS = ("ProductionVariantInstanceType", "TransformInstanceType")


def table() -> dict[str, object]:
    """The API's enumerations, sorted, with the version they came from."""
    model = botocore.session.Session().get_service_model("sagemaker")
    names: dict[str, list[str]] = {name: sorted(model.shape_for(name).enum) for name in ENUMERATIONS}
    return {"source": f"botocore {botocore.__version__}", **names}


def render() -> str:
    """The table as the text of its file."""
    return json.dumps(table(), indent=0) + "\n"


if __name__ == "__main__":
    TABLE.write_text(render(), encoding="utf-8")
    print(f"wrote {TABLE}")
