"""Where endpoints really run: fleets of instances, instances of containers, containers as processes.

`manager` makes fleets, `fleet` keeps the instances of one variant, `instances` starts and ends one of them,
`containers` is a model server, `images` says what an image needs, `artifacts` and `archives` bring the
model's files, `output` takes what a model prints, `utilization` and `concurrency` measure, `slots` counts
against the limit, `safe_ports` gives containers ports of their own.
"""

from sandbox.fleet.failures import FleetFailed
from sandbox.fleet.fleet import Fleet, FleetStopped
from sandbox.fleet.instances import Instance
from sandbox.fleet.manager import FleetManager, ModelServer

__all__ = ["Fleet", "FleetFailed", "FleetManager", "FleetStopped", "Instance", "ModelServer"]
