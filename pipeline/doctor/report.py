"""What a check found: whether it breaks a run or slows it, and what to do."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

Level = Literal["ok", "slow", "breaks"]


@dataclass(frozen=True)
class Finding:
    """What one check found."""

    #: What was looked at.
    check: str
    #: What it does to a run.
    level: Level
    #: What is there.
    found: str
    #: What to do, or what to know; empty where there is nothing to say.
    advice: str = ""


@dataclass(frozen=True)
class Diagnosis:
    """What all checks found."""

    #: The folder that was asked about.
    directory: Path
    #: One a check.
    findings: Sequence[Finding]

    def count(self, level: Level) -> int:
        """Count the findings of a level."""
        return sum(finding.level == level for finding in self.findings)

    def report_lines(self) -> list[str]:
        """Format it as lines for people."""
        width = max((len(finding.check) for finding in self.findings), default=0)
        lines = []
        for finding in self.findings:
            mark = finding.level if finding.level == "ok" else finding.level.upper()
            lines.append(f"{mark:<6}  {finding.check:<{width}}  {finding.found}")
            if finding.advice:
                lines.append(f"{'':<{8 + width}}  {finding.advice}")
        breaks, slow = self.count("breaks"), self.count("slow")
        verdict = f"{breaks} would break a run here, {slow} would slow it"
        lines.append(f"{self.directory}: {len(self.findings)} checks; {verdict}")
        return lines

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON holds it."""
        return {
            "directory": str(self.directory),
            "breaks": self.count("breaks"),
            "slow": self.count("slow"),
            "findings": [vars(finding) for finding in self.findings],
        }
