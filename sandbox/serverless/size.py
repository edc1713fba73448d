"""How large a serverless variant is: its ServerlessConfig."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace

from sandbox.store import Params

# AWS says that CPU grows with memory and not how; Lambda, which serverless inference runs on, gives one vCPU
# for each 1,769 MB (Lambda developer guide, "Memory")
_MB_PER_CPU = 1769


@dataclass(frozen=True)
class ServerlessSize:
    """A ServerlessConfig (API_ProductionVariantServerlessConfig).

    Args:
        memory_mb: MemorySizeInMB, of each container.
        max_concurrency: MaxConcurrency: requests at a time.
        provisioned: ProvisionedConcurrency: containers that are always there; 0 without it.
    """

    memory_mb: int
    max_concurrency: int
    provisioned: int = 0

    @staticmethod
    def of(config: Params) -> ServerlessSize:
        """The size that a ServerlessConfig asks for."""
        return ServerlessSize(
            config["MemorySizeInMB"], config["MaxConcurrency"], config.get("ProvisionedConcurrency", 0)
        )

    def updated(self, update: Params) -> ServerlessSize:
        """The size after a ServerlessUpdateConfig, which leaves the memory as it is."""
        return replace(
            self,
            max_concurrency=update.get("MaxConcurrency", self.max_concurrency),
            provisioned=update.get("ProvisionedConcurrency", self.provisioned),
        )

    @property
    def config(self) -> Params:
        """The same as a ServerlessConfig."""
        config = {"MemorySizeInMB": self.memory_mb, "MaxConcurrency": self.max_concurrency}
        return config | ({"ProvisionedConcurrency": self.provisioned} if self.provisioned else {})

    @property
    def threads(self) -> int:
        """Threads of a container's numerical libraries: its vCPUs, at most those of this machine."""
        return max(1, min(self.memory_mb // _MB_PER_CPU, os.cpu_count() or 1))
