"""A decoder drawn from what its parts cost: boxes from the tokens up to the logits, with their parameters."""

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass

from matplotlib.axes import Axes
from matplotlib.patches import FancyBboxPatch, Rectangle

from analysis.study import style
from analysis.study.figures import Panel, Series


@dataclass(frozen=True)
class Part:
    """A box: what it is, its parameters, and whether it is one of those that are repeated."""

    name: str
    parameters: int
    repeated: bool = False


@dataclass(frozen=True)
class Tower(Panel):
    """The parts of a model, the first at the bottom; those that are repeated in a frame that says how often, and how
    many parameters they have together."""

    _: KW_ONLY
    parts: Sequence[Part]
    times: int

    def series(self) -> list[Series]:
        return [Series("parameters", [part.name for part in self.parts], [part.parameters for part in self.parts])]

    def draw(self, ax: Axes) -> None:
        height, left, width = 0.72, 0.16, 0.62
        inside = [y for y, part in enumerate(self.parts) if part.repeated]
        low, high = inside[0] - 0.5, inside[-1] + 0.5
        frame = Rectangle(
            (left - 0.04, low), width + 0.08, high - low, fill=False, linewidth=1.2, linestyle=(0, (4, 2))
        )
        frame.set_edgecolor(style.muted())
        ax.add_patch(frame)
        block = sum(part.parameters for part in self.parts if part.repeated)
        ax.annotate(
            f"{self.times} × {block:,}", (left - 0.06, (low + high) / 2), ha="right", va="center", fontsize=11,
            rotation=90, color=style.ink(),
        )  # fmt: skip
        most = max(part.parameters for part in self.parts)
        for y, part in enumerate(self.parts):
            colour = style.colours(2)[0] if part.parameters > most / 100 else style.muted()
            box = FancyBboxPatch(
                (left, y - height / 2), width, height, boxstyle="round,pad=0,rounding_size=0.02", linewidth=1.2,
                mutation_aspect=12, facecolor="none", edgecolor=colour,
            )  # fmt: skip
            ax.add_patch(box)
            ax.annotate(part.name, (left + width / 2, y), ha="center", va="center", fontsize=9, color=style.ink())
            count = f"{part.parameters:,}" if part.parameters else "–"
            ax.annotate(count, (left + width + 0.06, y), ha="left", va="center", fontsize=9, color=colour)
            if y:
                ax.annotate(
                    "", (left + width / 2, y - height / 2), (left + width / 2, y - 1 + height / 2),
                    arrowprops={"arrowstyle": "-", "color": style.muted(), "linewidth": 1.0},
                )  # fmt: skip
        self._label(ax)
        ax.grid(False)
        ax.set_axis_off()
        ax.set(xlim=(0, 1.06), ylim=(-0.6, len(self.parts) - 0.4))
