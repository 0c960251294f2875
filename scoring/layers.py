"""The encoder's transformer blocks, as fast as this machine computes them, with LoRA row by row.

Products are computed in bfloat16 where the processor multiplies that natively, sums and norms in
fp32. No module is changed, so any thread may use the blocks, and no loop goes over adapters.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers.models.distilbert.modeling_distilbert import DistilBertModel

_PLACES = ("attention.q_lin", "attention.k_lin", "attention.v_lin", "attention.out_lin")
_FEED = ("ffn.lin1", "ffn.lin2")
LINEARS = _PLACES + _FEED
"""The linear layers of a block: those that carry LoRA."""

_STEM = "base_model.model.transformer.layer."


def lora_names(block: int, place: str) -> tuple[str, str]:
    """Return the names under which peft stores a layer's two factors."""
    name = f"{_STEM}{block}.{place}"
    return f"{name}.lora_A.weight", f"{name}.lora_B.weight"


def fastest_products() -> torch.dtype:
    """Return the type in which this processor multiplies matrices fastest."""
    native = any(
        has and name.endswith("bf16") for name, has in torch.cpu.get_capabilities().items()
    )
    return torch.bfloat16 if native else torch.float32


@dataclass(frozen=True)
class Linear:
    """One linear map in the products' type: `weight` (out, in) and `bias` (out,)."""

    weight: Tensor
    bias: Tensor

    @classmethod
    def of(cls, modules: Sequence[nn.Module], products: torch.dtype) -> "Linear":
        """Return several linear modules over the same input as one."""
        return cls(
            torch.cat([module.get_parameter("weight") for module in modules]).to(products),
            torch.cat([module.get_parameter("bias") for module in modules]).to(products),
        )

    def __call__(self, states: Tensor) -> Tensor:
        return functional.linear(states, self.weight, self.bias)


@dataclass(frozen=True)
class Factors:
    """LoRA's factors over one `Linear`, scaled: `down` (ranks, in) and `up` (out, ranks)."""

    down: Tensor
    up: Tensor


BlockLora = Mapping[str, Factors]
"""A block's factors by the input that they read: `attention`, `out`, `lin1` and `lin2`."""


@dataclass(frozen=True)
class Lora:
    """One adapter's factors by the number of the block that they change."""

    blocks: Mapping[int, BlockLora]

    @classmethod
    def from_peft(
        cls, tensors: Mapping[str, Tensor], products: torch.dtype, *, rank: int, alpha: float
    ) -> "Lora":
        """Return the factors that peft stores under its names."""
        numbers = sorted({int(name[len(_STEM) :].split(".")[0]) for name in tensors})

        def factors(number: int, *places: str) -> Factors:
            names = [lora_names(number, place) for place in places]
            downs, ups = [tensors[down] for down, _ in names], [tensors[up] for _, up in names]
            # Several maps of one input: their ranks side by side, each feeding its own outputs.
            up = _block_diagonal(ups) * (alpha / rank)
            return Factors(torch.cat(downs).to(products), up.to(products))

        return cls(
            {
                number: {
                    "attention": factors(number, *_PLACES[:3]),
                    "out": factors(number, _PLACES[3]),
                    "lin1": factors(number, _FEED[0]),
                    "lin2": factors(number, _FEED[1]),
                }
                for number in numbers
            }
        )


class LoraRows:
    """The factors that each row of a batch uses, one adapter per row."""

    def __init__(self, adapters: Sequence[Lora]) -> None:
        alike = all(adapter is adapters[0] for adapter in adapters)
        self._adapters = adapters[:1] if alike else adapters

    def delta(self, block: int, place: str, states: Tensor) -> Tensor:
        """Return what LoRA adds to a map of `states` (n, length, in), (n, length, out)."""
        factors = [adapter.blocks[block][place] for adapter in self._adapters]
        if len(factors) == 1:
            (one,) = factors
            return functional.linear(functional.linear(states, one.down), one.up)
        downs = torch.stack([each.down for each in factors])
        ups = torch.stack([each.up for each in factors])
        return torch.bmm(torch.bmm(states, downs.transpose(1, 2)), ups.transpose(1, 2))


class Block:
    """One transformer block: the same function as transformers' own `TransformerBlock`."""

    def __init__(self, layer: nn.Module, number: int, heads: int, products: torch.dtype) -> None:
        def linear(*places: str) -> Linear:
            return Linear.of([layer.get_submodule(place) for place in places], products)

        self._number, self._heads, self._products = number, heads, products
        self._attention, self._out = linear(*_PLACES[:3]), linear(_PLACES[3])
        self._lin1, self._lin2 = linear(_FEED[0]), linear(_FEED[1])
        self._activation = layer.get_submodule("ffn.activation")
        self._norm = layer.get_submodule("sa_layer_norm")
        self._last_norm = layer.get_submodule("output_layer_norm")

    def __call__(
        self,
        states: Tensor,
        mask: Tensor,
        lora: LoraRows | None = None,
        *,
        first_only: bool = False,
    ) -> Tensor:
        """Return the block's output in fp32, (n, length, dim), or (n, 1, dim) of the first state.

        `states` is (n, length, dim), `mask` (n, length) says which of them are real.
        """
        products = self._products

        def mapped(linear: Linear, place: str, inputs: Tensor) -> Tensor:
            narrow = inputs.to(products)
            plain = linear(narrow)
            return plain if lora is None else plain + lora.delta(self._number, place, narrow)

        # The last block of a reading needs one state only, but its keys and values from all.
        queries, keys, values = (
            self._by_head(part)
            for part in mapped(self._attention, "attention", states).chunk(3, dim=2)
        )  # (n, heads, length, dim / heads)
        if first_only:
            queries, states = queries[:, :, :1], states[:, :1]
        hidden = torch.zeros(mask.shape, dtype=products).masked_fill(~mask, float("-inf"))
        scores = (queries * queries.shape[-1] ** -0.5) @ keys.transpose(2, 3)
        shares = (scores + hidden[:, None, None]).softmax(3)
        attended = (shares @ values).transpose(1, 2).flatten(2)
        states = self._norm(mapped(self._out, "out", attended) + states)
        wide = self._activation(mapped(self._lin1, "lin1", states))
        out: Tensor = self._last_norm(mapped(self._lin2, "lin2", wide) + states)
        return out

    def _by_head(self, states: Tensor) -> Tensor:
        rows, length, _ = states.shape
        return states.reshape(rows, length, self._heads, -1).transpose(1, 2).contiguous()


def _block_diagonal(parts: Sequence[Tensor]) -> Tensor:
    """Return matrices as the blocks of one that is zero elsewhere."""
    blocks: Tensor = torch.block_diag(*parts)  # type: ignore[no-untyped-call]
    return blocks


def blocks_of(model: DistilBertModel, products: torch.dtype) -> list[Block]:
    """Return the model's transformer blocks, lowest first."""
    heads = int(model.config.n_heads)
    layers = enumerate(model.transformer.layer)
    return [Block(layer, number, heads, products) for number, layer in layers]
