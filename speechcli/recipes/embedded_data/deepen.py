"""A deeper decoder for a model that has learned: layers between its own that change nothing until they learn, too.

    python -m speechcli.recipes.embedded_data.deepen --model run17/last --layers 8 --out deep

What a layer adds to its input begins as zero, because the last matrix of each of its parts does; the rest is drawn as
`speechcli init` draws it. The model writes what it wrote before.
"""

import shutil
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from speechcli.checkpoints.folder import read_config, read_weights, write_json, write_weights, writing
from speechcli.recipes.embedded_data.arguments import make_parser

_LAYERS = "decoder.model.decoder.layers."
_ADDED = ("self_attn.out_proj", "encoder_attn.out_proj", "fc2")
"""What a layer adds to its input comes out of these."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Writes the deeper model."""
    parser = make_parser("speechcli.recipes.embedded_data.deepen", __doc__, "--model", "--out")
    parser.add_argument("--layers", type=int, required=True, help="decoder layers of the new model")
    options = parser.parse_args(arguments)
    config = read_config(options.model)
    if options.layers < config["decoder"]["decoder_layers"]:
        parser.error(f"--layers must be at least the model's {config['decoder']['decoder_layers']}")
    tensors = deepened(read_weights(options.model), config["decoder"], options.layers)
    config["decoder"] = {**config["decoder"], "decoder_layers": options.layers}
    with writing(options.out) as folder:
        shutil.copytree(options.model, folder, dirs_exist_ok=True)
        write_json(folder / "config.json", config)
        write_weights(folder, tensors)


def deepened(
    tensors: Mapping[str, Tensor], decoder: Mapping[str, Any], layers: int, *, seed: int = 1
) -> dict[str, Tensor]:
    """Returns the weights of a model whose decoder is deeper, and which computes the same.

    Args:
        tensors: an mBART decoder's weights, and whatever there is besides, by the names of their files.
        decoder: its configuration.
        layers: how many layers it is to have, not fewer than now; its own are spread evenly among them.
        seed: of what new layers are drawn from.
    """
    own = decoder["decoder_layers"]
    places = {round(i * layers / own): i for i in range(own)}
    generator = torch.Generator().manual_seed(seed)
    grown = {name: tensor for name, tensor in tensors.items() if not name.startswith(_LAYERS)}
    below = 0
    for place in range(layers):
        below = places.get(place, below)
        for name, tensor in tensors.items():
            if (part := name.removeprefix(f"{_LAYERS}{below}.")) != name:
                kept = tensor if place in places else _fresh(part, tensor, decoder["init_std"], generator)
                grown[f"{_LAYERS}{place}.{part}"] = kept
    return grown


def _fresh(part: str, like: Tensor, spread: float, generator: torch.Generator) -> Tensor:
    if "layer_norm.weight" in part:
        return torch.ones_like(like)
    if part.endswith("bias") or part.startswith(_ADDED):
        return torch.zeros_like(like)
    return (torch.randn(like.shape, generator=generator) * spread).to(like.dtype)


if __name__ == "__main__":
    main()
