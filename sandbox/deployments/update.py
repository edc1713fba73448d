"""One update of an endpoint: the new fleet beside the old one, traffic step by step, or back."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Iterable, Mapping

from sandbox.aws import LocalAws
from sandbox.clock import Clock
from sandbox.deployments.alarms import AlarmWatch
from sandbox.deployments.fleets import DeploymentFailed, scale_fleets, start_fleets, stop_fleets
from sandbox.deployments.policy import Policy, Rolling
from sandbox.deployments.transitions import Transitions, internal_reason
from sandbox.store import Endpoint, Pending, Record, Variant
from sandbox.traffic import Routes, Side

log = logging.getLogger(__name__)


class Update:
    """An update by its policy (rules of API_DeploymentConfig). `endpoint.pending` is there already.

    The endpoint ends InService on the new configuration; or, rolled back, InService on the old one with
    the reason; or UpdateRollbackFailed, if the old fleet could not be brought back.

    Args:
        endpoint: The endpoint, with status Updating.
        pending: Its PendingDeploymentSummary; holds the variants of the new configuration.
        blue: What serves.
        green: The variants of the new configuration, not started.
        config: The new configuration.
        policy: How to proceed.
        transitions: Shows and tells what happens.
        aws: Where CloudWatch is.
        clock: The time scale.
        check: What must succeed before anything starts; raises DeploymentFailed.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        pending: Pending,
        blue: Side,
        green: Side,
        config: Record,
        policy: Policy,
        transitions: Transitions,
        aws: LocalAws,
        clock: Clock,
        check: Callable[[], Awaitable[None]],
    ) -> None:
        self._endpoint = endpoint
        self._pending = pending
        self._blue = blue
        self._green = green
        self._config = config
        self._policy = policy
        self._transitions = transitions
        self._clock = clock
        self._check = check
        self._watch = AlarmWatch(aws, endpoint.scope, policy.alarms, clock)
        self._counts = {name: variant.desired_instance_count for name, variant in green.variants.items()}
        # a shadow takes no traffic of its own: its whole fleet starts with the first instances
        self._shadow_counts = {
            name: variant.desired_instance_count for name, variant in green.shadows.items()
        }

    async def run(self) -> None:
        """Carry the update out; never raises but when it is cancelled."""
        limit = asyncio.timeout(self._clock.real(self._policy.timeout))
        try:
            async with limit:
                await self._watch.require_ready()
                await self._check()
                # instances that are not there cannot be replaced batch by batch
                if self._policy.rolling is not None and all(self._counts.values()):
                    await self._roll(self._policy.rolling)
                else:
                    await self._blue_green()
        except DeploymentFailed as error:
            await self._roll_back(str(error))
        except Exception as error:
            if limit.expired():
                seconds = f"{self._policy.timeout:g} s"
                await self._roll_back(
                    f"The update took longer than MaximumExecutionTimeoutInSeconds ({seconds})."
                )
            else:
                log.exception("the update of endpoint %s failed", self._endpoint.name)
                await self._roll_back(internal_reason(error))
        else:
            await self._commit()

    async def _blue_green(self) -> None:
        """A whole second fleet, then the traffic in steps."""
        self._stage_creating(self._counts | self._shadow_counts)
        await start_fleets(self._green.all_variants, self._counts | self._shadow_counts)
        for shares in self._policy.shifts(self._counts):
            self._shift(shares)
            await self._bake(self._policy.wait, "WaitIntervalInSeconds")
        if self._policy.termination_wait:
            await self._bake(self._policy.termination_wait, "TerminationWaitInSeconds")

    async def _roll(self, rolling: Rolling) -> None:
        """Batch by batch: new instances, their share of the traffic, a bake, old instances away."""
        ((name, count),) = self._counts.items()
        (blue,) = self._blue.variants.values()
        batch = rolling.batch.instances(count)
        launched = 0
        while launched < count:
            added = min(batch, count - launched)
            if launched:
                self._stage_creating({name: added})
                await scale_fleets(self._green.variants, {name: launched + added})
            else:
                self._stage_creating({name: added, **self._shadow_counts})
                await start_fleets(self._green.all_variants, {name: added, **self._shadow_counts})
            launched += added
            self._shift({name: launched / count})
            await self._bake(self._policy.wait, "WaitIntervalInSeconds")
            if launched < count:
                # one old instance stays as long as old traffic comes
                before = blue.desired_instance_count
                left = min(before, max(1, math.floor(before * (1 - launched / count) + 1e-9)))
                self._stage_deleting([blue], left=left)
                await scale_fleets(self._blue.variants, {blue.name: left})

    async def _bake(self, wait: float, parameter: str) -> None:
        if wait:
            self._stage(
                self._green.variants.values(),
                "Baking",
                lambda variant: (
                    f"Baking for {wait:g} seconds ({parameter}) with traffic enabled on "
                    f"{self._capacity(variant)}."
                ),
            )
        await self._watch.bake(wait)

    async def _commit(self) -> None:
        """The new fleet serves; the old one is drained and stopped."""
        endpoint = self._endpoint
        endpoint.routes = Routes(endpoint.name, self._green)
        self._stage_deleting(self._blue.all_variants.values())
        await self._discard(self._blue)
        endpoint.variants = dict(self._green.variants)
        endpoint.shadow_variants = dict(self._green.shadows)
        self._adopt()
        self._transitions.settle(endpoint, "InService")

    def _adopt(self) -> None:
        """The new configuration is the endpoint's."""
        self._endpoint.config_name = self._green.config_name
        self._endpoint.data_capture = self._config.request.get("DataCaptureConfig")
        self._endpoint.async_inference = self._config.request.get("AsyncInferenceConfig")

    async def _roll_back(self, reason: str) -> None:
        """All traffic to the old fleet, the new one away."""
        endpoint = self._endpoint
        # the reason is told at the end: while RollingBack the endpoint has not failed
        self._transitions.enter(endpoint, "RollingBack")
        try:
            if self._policy.rolling is not None:
                await self._restore_blue(self._policy.rolling)
            self._pending.green_shares = {}
            endpoint.routes = Routes(endpoint.name, self._blue)
            self._stage_deleting(self._green.all_variants.values())
            await self._discard(self._green)
        except Exception as error:
            if not isinstance(error, DeploymentFailed):
                log.exception("the rollback of endpoint %s failed", endpoint.name)
            await self._settle()
            status, reason = "UpdateRollbackFailed", f"{reason} The rollback failed: {error}"
        else:
            status = "InService"
        self._transitions.settle(endpoint, status, reason)

    async def _restore_blue(self, rolling: Rolling) -> None:
        """Bring the old fleet back to its size, in batches of RollbackMaximumBatchSize."""
        (blue,) = self._blue.variants.values()
        ((name, count),) = self._counts.items()
        wanted = blue.desired_instance_count
        size = len(blue.fleet.in_service())
        while size < wanted:
            added = min(wanted - size, rolling.rollback_batch.instances(wanted))
            size += added
            self._stage_restoring(blue, added)
            await scale_fleets(self._blue.variants, {blue.name: size})
            share = min(self._pending.green_shares.get(name, 0.0), 1 - size / wanted)
            self._shift({name: share})
            if share > 0:
                await scale_fleets(self._green.variants, {name: max(1, math.ceil(count * share - 1e-9))})

    async def _settle(self) -> None:
        """After a rollback that failed: serve with the side that has more instances, stop the other."""
        endpoint = self._endpoint
        winner, loser = sorted((self._blue, self._green), key=_in_service, reverse=True)
        endpoint.routes = Routes(endpoint.name, winner)
        endpoint.variants = dict(winner.variants)
        endpoint.shadow_variants = dict(winner.shadows)
        if winner is self._green:
            self._adopt()
        await self._discard(loser)

    async def _discard(self, side: Side) -> None:
        await stop_fleets(side.all_variants.values(), drain=True)
        if side.capture is not None:
            try:
                await side.capture.close()
            except Exception:  # what was captured last is lost, the update is not
                log.exception("the last captured data of endpoint %s were not written", self._endpoint.name)

    def _shift(self, shares: Mapping[str, float]) -> None:
        self._pending.green_shares = dict(shares)
        self._endpoint.routes = Routes(self._endpoint.name, self._blue, self._green, shares)
        self._stage(
            self._green.variants.values(),
            "ActivatingTraffic",
            lambda variant: f"Activating traffic on {self._capacity(variant)}.",
        )

    def _capacity(self, variant: Variant) -> str:
        """Where the traffic is, in the words of the developer guide's example events."""
        count = self._counts[variant.name]
        active = round(self._pending.green_shares.get(variant.name, 0.0) * count)
        kind = "full" if active == count else "canary" if self._policy.routing == "CANARY" else "partial"
        return f"{kind} capacity of {active} instance(s)"

    def _stage_creating(self, added: Mapping[str, int]) -> None:
        variants = [self._green.all_variants[name] for name in added]
        self._stage(variants, "Creating", lambda variant: f"Launching {added[variant.name]} instance(s).")

    def _stage_restoring(self, blue: Variant, added: int) -> None:
        self._stage([blue], "Updating", lambda _: f"Launching {added} instance(s).")

    def _stage_deleting(self, variants: Iterable[Variant], *, left: int = 0) -> None:
        self._stage(
            variants,
            "Deleting",
            lambda variant: f"Terminating {len(variant.fleet.in_service()) - left} instance(s).",
        )

    def _stage(self, variants: Iterable[Variant], status: str, message: Callable[[Variant], str]) -> None:
        self._transitions.stage(self._endpoint, variants, status, message)


def _in_service(side: Side) -> int:
    return sum(len(variant.fleet.in_service()) for variant in side.variants.values())
