"""Writes app.yaml, the single overlay in one file: `python deploy/kubernetes/render.py`. Needs kubectl, and no cluster."""

from __future__ import annotations

import subprocess
from pathlib import Path

HERE = Path(__file__).resolve().parent
APP = HERE / "app.yaml"
HEADER = """\
# omni-connector on Kubernetes, in one file: docs/containers.md. Written by render.py from overlays/single; do not edit by hand.
#   kubectl apply -f app.yaml
#   kubectl -n omni-connector logs deployment/omni-connector      (the first start prints the dashboard's password)
#   kubectl -n omni-connector port-forward service/omni-connector 38471:80      then http://localhost:38471
"""


def rendered(overlay: str = "single") -> str:
    """What `kubectl apply -k` would send for an overlay. Raises CalledProcessError, FileNotFoundError without kubectl."""
    command = ["kubectl", "kustomize", str(HERE / "overlays" / overlay)]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout  # noqa: S603 - no word of a user


if __name__ == "__main__":
    APP.write_text(HEADER + rendered(), encoding="utf-8")
