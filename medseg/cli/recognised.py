"""What the verbs say of a data set: what was recognised, and what is wrong with it."""

from typing import TYPE_CHECKING, Final

from rich.console import Console

if TYPE_CHECKING:
    from medseg.survey.findings import Finding
    from medseg.survey.survey import Survey

_MOST: Final = 30  # findings in the terminal


def tell(survey: "Survey", console: Console) -> None:
    """Print what was recognised, the notes and the findings, the worst first."""
    task = survey.task
    values = ", ".join(f"{name} {label.value}" for name, label in task.labels.items())
    console.print(f"Recognised: {survey.data_set.edition}; task {task.name} ({values})")
    if survey.confirmed:
        console.print(f"Confirmed: {survey.confirmed}")
    for note in survey.notes:
        console.print(f"Note: {note}")
    for finding in survey.findings[:_MOST]:
        console.print(line(finding))
    if len(survey.findings) > _MOST:
        console.print(f"... and {len(survey.findings) - _MOST} findings more")


def line(finding: "Finding") -> str:
    """Return a finding as one line: severity, case, cause, fix."""
    return f"{str(finding.severity).capitalize()}: {finding.case}: {finding.cause}. {finding.fix}."
