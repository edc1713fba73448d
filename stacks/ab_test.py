"""A/B test: production variants with models of their own behind one endpoint, and a shadow by setting."""

from __future__ import annotations

from typing import ClassVar

from sagemaker_serving.endpoint import ServedShadow, ServedVariant, ServingEndpoint
from sagemaker_serving.errors import Findings
from sagemaker_serving.monitoring import EndpointMonitoring
from sagemaker_serving.storage import AlarmTopic, EncryptionKey
from sagemaker_serving.variants import check_shadow, check_variants

from .endpoint_stack import EndpointStack
from .model_settings import ModelSettings
from .settings import AlarmSettings, PatternSettings, ShadowSettings, VariantSettings, noted


class AbVariantSettings(VariantSettings):
    """A variant and its model."""

    model: ModelSettings


class AbShadowSettings(ShadowSettings):
    """A shadow variant and its model."""

    model: ModelSettings


class AbTestSettings(PatternSettings):
    """The section ``patterns.ab-test`` of a configuration file.

    There is no deployment policy: guardrails refuse an update that changes the names of variants, and
    dropping the loser is one. Without a policy an update moves all traffic at once.
    """

    variants: dict[str, AbVariantSettings]
    shadow: AbShadowSettings | None = None
    retain_weights: bool = True
    alarms: AlarmSettings = AlarmSettings()

    def build(self) -> None:
        """Refuse variants that do not fit together."""
        findings = Findings("patterns.ab-test")
        made = []
        for name, settings in self.variants.items():
            place = f"variants.{name}"
            with noted(findings, place, settings):
                made.append(settings.variant(name))
            settings.model.check_image(
                findings,
                f"{place}.model",
                settings.build().instance,
                instance_key=f"{place}.instance_type",
            )
        if len(made) == len(self.variants):
            check_variants(findings, made)
        if self.shadow:
            shadow = self.shadow.build()
            check_shadow(findings, made, shadow)
            self.shadow.model.check_image(
                findings, "shadow.model", shadow.instance, instance_key="shadow.instance_type"
            )
        findings.raise_if_any()


class AbTest(EndpointStack[AbTestSettings]):
    """A/B test: several models behind one endpoint, each with its share of the traffic."""

    pattern: ClassVar[str] = "ab-test"
    settings_type: ClassVar[type[PatternSettings]] = AbTestSettings

    def build(self) -> None:
        """The pattern, in the order of its description."""
        settings, target = self.settings, self.target

        key = EncryptionKey(self, "Key", retention=target.retention)
        topic = AlarmTopic(self, "AlarmTopic", key=key, emails=target.alarm_emails)
        served = []
        for name, one in settings.variants.items():
            variant = one.starting_within(one.model.startup_timeout_seconds).variant(name)
            model = one.model.serving_model(
                self, f"Model-{name}", root=target.root, instance=variant.instance
            )
            served.append(ServedVariant(model=model, variant=variant))
        shadow = None
        if settings.shadow:
            shadow_timeout = settings.shadow.model.startup_timeout_seconds
            copied = settings.shadow.starting_within(shadow_timeout).build()
            shadow_model = settings.shadow.model.serving_model(
                self, "ShadowModel", root=target.root, instance=copied.instance
            )
            shadow = ServedShadow(model=shadow_model, variant=copied)
        monitoring = EndpointMonitoring(
            self,
            "Monitoring",
            endpoint_name=self.endpoint_name,
            variants=[one.variant for one in served],
            shadow=shadow.variant if shadow else None,
            topic=topic,
            thresholds=settings.alarms.build(),
            window=settings.alarms.window(),
        )
        endpoint = ServingEndpoint(
            self,
            "Endpoint",
            endpoint_name=self.endpoint_name,
            variants=served,
            shadow=shadow,
            key=key,
            retention=target.retention,
            retain_weights=settings.retain_weights,
        )

        self.publish_endpoint(
            endpoint,
            topic=topic,
            monitoring=monitoring,
            outputs={"ShadowVariantName": shadow.variant.name if shadow else None},
        )
