"""Where a batch workflow takes files, and where it leaves what came of them."""

from __future__ import annotations

from dataclasses import dataclass

from client.errors import UserError
from client.patterns import DeployedPattern
from client.s3 import Place


@dataclass(frozen=True, kw_only=True)
class Workflow:
    """A deployed batch workflow, by its stack's outputs.

    Args:
        deployed: Its stack.
        state_machine_arn: What is started.
        input: Folder that files are put into.
        output: Folder with what the model said, and each job's report.
        quarantine: Folder with rows that were set aside.
        id_column: Column that identifies a row.
        text_column: Column that the model reads.
    """

    deployed: DeployedPattern
    state_machine_arn: str
    input: Place
    output: Place
    quarantine: Place
    id_column: str
    text_column: str

    @classmethod
    def of(cls, deployed: DeployedPattern) -> Workflow:
        """The workflow of a pattern.

        Raises:
            UserError: The stack has none, or is not there yet.
        """
        outputs = deployed.outputs
        wanted = ("StateMachineArn", "InputUri", "OutputUri", "QuarantineUri", "IdColumn", "TextColumn")
        missing = [name for name in wanted if name not in outputs]
        if missing:
            raise UserError(
                f"Stack {deployed.stack_name} has no batch workflow: its outputs lack {', '.join(missing)}; "
                f"it is {deployed.stack_status}",
                "Name a stack of the batch pattern, or deploy it again if its deployment failed.",
            )
        return cls(
            deployed=deployed,
            state_machine_arn=outputs["StateMachineArn"],
            input=Place.parse(outputs["InputUri"]),
            output=Place.parse(outputs["OutputUri"]),
            quarantine=Place.parse(outputs["QuarantineUri"]),
            id_column=outputs["IdColumn"],
            text_column=outputs["TextColumn"],
        )
