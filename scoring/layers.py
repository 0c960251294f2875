"""The encoder's transformer blocks, as fast as this machine computes them, with LoRA row by row.

Products are computed in bfloat16 where the processor multiplies that natively, sums and norms in
fp32. No module is changed, so any thread may use the blocks, and no loop goes over adapters.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers.activations import GELUActivation
from transformers.models.distilbert.modeling_distilbert import DistilBertModel

_PLACES = ("attention.q_lin", "attention.k_lin", "attention.v_lin", "attention.out_lin")
_FEED = ("ffn.lin1", "ffn.lin2")
LINEARS = _PLACES + _FEED
"""The linear layers of a block: those that carry LoRA."""

WIDTH = 32
"""Scores of attention stand in rows of a multiple of this: of other rows, softmax in bfloat16 takes
up to three times as long."""

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
    """One linear map in the products' type: `weight` (out, in) and `bias` (out,).

    `packed` is the weight in the order in which oneDNN reads it, where torch has oneDNN: otherwise
    every call would bring it into that order again.
    """

    weight: Tensor
    bias: Tensor
    packed: Tensor | None

    @classmethod
    def of(cls, modules: Sequence[nn.Module], products: torch.dtype) -> "Linear":
        """Return several linear modules over the same input as one."""
        weight = torch.cat([module.get_parameter("weight") for module in modules]).to(products)
        bias = torch.cat([module.get_parameter("bias") for module in modules]).to(products)
        return cls(weight, bias, _packed(weight))

    def __call__(self, states: Tensor, *, gelu: bool = False) -> Tensor:
        """Return the map of `states` (..., in), (..., out), and with `gelu` its activation."""
        if self.packed is None or states.requires_grad:  # oneDNN's operator has no gradient
            mapped = functional.linear(states, self.weight, self.bias)
            return functional.gelu(mapped) if gelu else mapped
        out: Tensor = torch.ops.mkldnn._linear_pointwise(
            states, self.packed, self.bias, "gelu" if gelu else "none", [], "none"
        )
        return out


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

    def add(self, mapped: Tensor, block: int, place: str, states: Tensor) -> Tensor:
        """Add what LoRA adds to a map of `states` (n, length, in) to `mapped` (n, length, out)."""
        factors = [adapter.blocks[block][place] for adapter in self._adapters]
        if len(factors) == 1:
            (one,) = factors
            low = functional.linear(states, one.down)
            return mapped.flatten(0, 1).addmm_(low.flatten(0, 1), one.up.T).view_as(mapped)
        downs = torch.stack([each.down for each in factors])
        ups = torch.stack([each.up for each in factors])
        return mapped.baddbmm_(torch.bmm(states, downs.transpose(1, 2)), ups.transpose(1, 2))


class Block:
    """One transformer block: the same function as transformers' own `TransformerBlock`."""

    def __init__(self, layer: nn.Module, number: int, heads: int, products: torch.dtype) -> None:
        def linear(*places: str) -> Linear:
            return Linear.of([layer.get_submodule(place) for place in places], products)

        self._number, self._heads, self._products = number, heads, products
        self._attention, self._out = linear(*_PLACES[:3]), linear(_PLACES[3])
        self._lin1, self._lin2 = linear(_FEED[0]), linear(_FEED[1])
        self._activation = layer.get_submodule("ffn.activation")
        self._gelu = isinstance(self._activation, GELUActivation)
        self._norm = layer.get_submodule("sa_layer_norm")
        self._last_norm = layer.get_submodule("output_layer_norm")

    def __call__(
        self,
        states: Tensor,
        hidden: Tensor,
        lora: LoraRows | None = None,
        *,
        first_only: bool = False,
    ) -> Tensor:
        """Return the block's output in fp32, (n, length, dim), or (n, 1, dim) of the first state.

        `states` is (n, length, dim); `hidden` says what each of them does not see, see `unseen`.
        """
        products = self._products

        def mapped(linear: Linear, place: str, inputs: Tensor) -> Tensor:
            narrow = inputs.to(products)
            plain = linear(narrow)
            return plain if lora is None else lora.add(plain, self._number, place, narrow)

        # The last block of a reading needs one state only, but its keys and values from all.
        queries, keys, values = self._by_head(
            mapped(self._attention, "attention", states), hidden.shape[-1]
        )  # (n, heads, width, dim / heads)
        wanted = 1 if first_only else states.shape[1]
        queries, states = queries[:, :, :wanted], states[:, :wanted]
        scores = (queries * queries.shape[-1] ** -0.5) @ keys.transpose(2, 3)
        shares = scores.add_(hidden).softmax(3)
        attended = (shares @ values).transpose(1, 2).flatten(2)
        states = self._norm(mapped(self._out, "out", attended).float() + states)
        wide = (
            self._lin1(states.to(products), gelu=True)
            if lora is None and self._gelu
            else self._activation(mapped(self._lin1, "lin1", states))
        )
        out: Tensor = self._last_norm(mapped(self._lin2, "lin2", wide).float() + states)
        return out

    def _by_head(self, states: Tensor, width: int) -> Tensor:
        """Return queries, keys and values of each head, filled up with zeros to this width."""
        rows, length, _ = states.shape
        split = states.view(rows, length, 3, self._heads, -1).permute(2, 0, 3, 1, 4)
        filled = split if width == length else functional.pad(split, (0, 0, 0, width - length))
        return filled.contiguous()


def unseen(seen: Tensor, products: torch.dtype) -> Tensor:
    """Return what is added to the scores of attention: -inf where a state does not see another.

    `seen` (n, 1 or length, length) says which states each one sees; every one must see one. The
    last dimension is filled up to a multiple of `WIDTH`.
    """
    width = -(-seen.shape[2] // WIDTH) * WIDTH
    hidden = torch.full((*seen.shape[:2], width), float("-inf"), dtype=products)
    hidden[:, :, : seen.shape[2]].masked_fill_(seen, 0)
    return hidden[:, None]


def _packed(weight: Tensor) -> Tensor | None:
    """Return the weight as oneDNN's operator for linear maps takes it, None where there is none."""
    operators = torch.ops.mkldnn
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return None
    if weight.dtype is torch.bfloat16 and not operators._is_mkldnn_bf16_supported():
        return None
    packed: Tensor = operators._reorder_linear_weight(weight, None)
    return packed


def _block_diagonal(parts: Sequence[Tensor]) -> Tensor:
    """Return matrices as the blocks of one that is zero elsewhere."""
    blocks: Tensor = torch.block_diag(*parts)  # type: ignore[no-untyped-call]
    return blocks


def blocks_of(model: DistilBertModel, products: torch.dtype) -> list[Block]:
    """Return the model's transformer blocks, lowest first."""
    heads = int(model.config.n_heads)
    layers = enumerate(model.transformer.layer)
    return [Block(layer, number, heads, products) for number, layer in layers]
