"""Something that hears only so far, computed window by window: the same numbers, in memory that does not grow.

Inputs and outputs lie on one time line, counted in whole ticks:

    at(input i) = i input_ticks + input_offset,     at(output o) = o output_ticks + output_offset
    output o hears input i only where |at(i) - at(o)| <= reach

So the outputs that n inputs settle, the first input that an output needs, and the inputs that may be forgotten are
whole-number arithmetic. A window's own edges are not those of the clip; what they spoil lies within the reach and is
cut away. Only at the clip's true ends is a window's edge an edge.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Reach:
    """Where outputs lie among inputs, and how far they hear.

    Args:
        input_ticks: between two inputs.
        output_ticks: between two outputs.
        reach: ticks beyond which an output hears nothing, to either side.
        input_offset: of input 0, in ticks.
        output_offset: of output 0, in ticks.
        alignment: a window may begin at multiples of so many inputs.
    """

    input_ticks: int
    output_ticks: int
    reach: int
    input_offset: int = 0
    output_offset: int = 0
    alignment: int = 1

    def settled(self, inputs: int) -> int:
        """Outputs that no further input changes, after `inputs` inputs."""
        before = inputs * self.input_ticks + self.input_offset - self.reach - self.output_offset
        return max(0, -(-before // self.output_ticks))

    def needed(self, outputs: int) -> int:
        """Fewest inputs that settle so many outputs."""
        last = (outputs - 1) * self.output_ticks + self.output_offset
        return max(0, (last + self.reach - self.input_offset) // self.input_ticks + 1)

    def begin(self, output: int) -> int:
        """First input of a window in which this output, and those after it, are right."""
        earliest = output * self.output_ticks + self.output_offset - self.reach - self.input_offset
        return max(0, -(-earliest // self.input_ticks)) // self.alignment * self.alignment

    def total(self, inputs: int) -> int:
        """Outputs of so many inputs, where they end together."""
        return -(-inputs * self.input_ticks // self.output_ticks)

    def origin(self, begin: int) -> int:
        """Number of the first output of a window that begins at this input."""
        return begin * self.input_ticks // self.output_ticks


class Windows:
    """Pushes chunks of any size through a function of finite reach.

    Args:
        function: inputs `(…, time)` to outputs `(…, time)`.
        reach: of the function.
        block: new outputs for which a window is computed; fewer wait. Small blocks come early and cost a whole reach.
        largest: new outputs of one window at most, so that memory is bounded for a chunk of any size.
        total: outputs of so many inputs; `reach.total` when left out.
    """

    def __init__(
        self,
        function: Callable[[Tensor], Tensor],
        reach: Reach,
        block: int,
        largest: int,
        total: Callable[[int], int] | None = None,
    ) -> None:
        self.function = function
        self.reach = reach
        self.total = total or reach.total
        self.block = max(1, block)
        self.largest = max(self.block, largest)
        self.pushed = 0
        self.given = 0
        self._kept: Tensor | None = None
        self._start = 0
        self._finished = False

    @property
    def kept(self) -> int:
        """Inputs that are held back."""
        return 0 if self._kept is None else self._kept.shape[-1]

    def push(self, chunk: Tensor) -> list[Tensor]:
        """Take further inputs `(…, time)`; returns the outputs that they settle, in pieces, perhaps none.

        Raises:
            ValueError: pushed after the end, a chunk of another shape than the one before, or a function that gives
                another number of outputs than its inputs make.
        """
        if self._finished:
            raise ValueError("this stream has been finished; make a new one")
        if self._kept is not None and chunk.shape[:-1] != self._kept.shape[:-1]:
            before, came = tuple(self._kept.shape[:-1]), tuple(chunk.shape[:-1])
            raise ValueError(f"chunk: expected {before} before the time axis, as pushed before, got {came}")
        self._kept = chunk if self._kept is None else torch.cat([self._kept, chunk], dim=-1)
        self.pushed += chunk.shape[-1]
        pieces = []
        while (settled := self.reach.settled(self.pushed)) - self.given >= self.block:
            end = min(settled, self.given + self.largest)
            pieces.append(self._window(self.reach.needed(end), end))
        return pieces

    def finish(self) -> list[Tensor]:
        """The outputs that waited for the end, in pieces.

        Raises:
            ValueError: nothing was pushed, the function refuses so short an input, or gives another number of outputs
                than its inputs make.
        """
        if self._kept is None or not self.pushed:
            raise ValueError("this stream has been given nothing")
        pieces = []
        while not self._finished and (settled := self.reach.settled(self.pushed)) > self.given:
            end = min(settled, self.given + self.largest)
            pieces.append(self._window(self.reach.needed(end), end))
        if not self._finished:
            pieces.append(self._window(self.pushed, None))
        self._finished = True
        self._kept = self._kept[..., :0]
        return pieces

    def _window(self, stop: int, end: int | None) -> Tensor:
        """Outputs from the first not yet given up to `end`, from inputs up to `stop`; then forgets what it may."""
        begin = self.reach.begin(self.given)
        inputs = self._kept_from(begin)[..., : stop - begin]
        origin = self.reach.origin(begin)
        whole = self.function(inputs)
        expected = self.total(inputs.shape[-1])
        if whole.shape[-1] != expected:
            came = f"expected {expected} outputs of {inputs.shape[-1]} inputs, got {whole.shape[-1]}"
            raise ValueError(f"window: {came}: in pieces it cannot be what it is as a whole")
        end = self.total(self.pushed) if end is None else end
        outputs = whole[..., self.given - origin : end - origin]
        if outputs.shape[-1] != end - self.given:
            # A loop that waits for outputs would never end.
            raise ValueError(f"window: expected outputs up to {end}, got {origin + expected}: its reach is not as told")
        self.given = end
        begin = min(self.reach.begin(self.given), self.pushed)
        # A copy, or the view would keep the whole tensor alive.
        self._kept, self._start = self._kept_from(begin).clone(), begin
        return outputs

    def _kept_from(self, begin: int) -> Tensor:
        if self._kept is None:
            raise ValueError("this stream has been given nothing")
        return self._kept[..., begin - self._start :]


class Chain:
    """Streams one behind the other: what one gives, the next takes.

    Args:
        stages: in their order.
    """

    def __init__(self, stages: Sequence[Windows]) -> None:
        self.stages = tuple(stages)

    def push(self, chunk: Tensor) -> list[Tensor]:
        """Take further inputs of the first stage; returns what the last one gives, in pieces, perhaps none."""
        pieces = [chunk]
        for stage in self.stages:
            pieces = [given for piece in pieces for given in stage.push(piece)]
        return pieces

    def finish(self) -> list[Tensor]:
        """End every stage in turn; returns what the last one held back."""
        pieces: list[Tensor] = []
        for stage in self.stages:
            pieces = [given for piece in pieces for given in stage.push(piece)] + stage.finish()
        return pieces

    @property
    def lookahead(self) -> int:
        """Inputs of the first stage without which the very first output cannot be known, however small the blocks."""
        count = 1
        for stage in reversed(self.stages):
            count = stage.reach.needed(count)
        return count


def in_turn(stream: Windows | Chain, chunks: Iterable[Tensor]) -> Iterator[Tensor]:
    """Push chunks one after the other, then end the stream; gives its pieces as they come."""
    for chunk in chunks:
        yield from stream.push(chunk)
    yield from stream.finish()


def filled(room: Tensor, pieces: Iterable[Tensor]) -> Tensor:
    """Write pieces `(…, time)` one behind the other into `room`, and give the part of it that they fill.

    A room is as large as what is made, where pieces that are gathered and joined take twice as much.

    Raises:
        ValueError: more pieces than there is room for.
    """
    end = 0
    for piece in pieces:
        start, end = end, end + piece.shape[-1]
        if end > room.shape[-1]:
            raise ValueError(f"room: expected at least {end} places, got {room.shape[-1]}")
        room[..., start:end] = piece
    return room[..., :end]
