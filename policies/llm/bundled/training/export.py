"""Writes trained weights as a GGUF file that llama.cpp runs; equal weights give equal bytes."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import gguf
import numpy as np
from torch import Tensor

from policies.llm.bundled.training.network import Shape
from policies.llm.bundled.vocabulary import LENGTH_CASE, NUM_SPECIAL, NUM_TEXT, token_texts
from policies.llm.models import TRAINED_HERE

Quantisation = Literal["F32", "F16", "Q8_0"]

_TYPES = {
    "F32": (gguf.GGMLQuantizationType.F32, gguf.LlamaFileType.ALL_F32),
    "F16": (gguf.GGMLQuantizationType.F16, gguf.LlamaFileType.MOSTLY_F16),
    "Q8_0": (gguf.GGMLQuantizationType.Q8_0, gguf.LlamaFileType.MOSTLY_Q8_0),
}
_MAX_CASE = 128


def export(weights: dict[str, Tensor], shape: Shape, path: Path, quantisation: Quantisation) -> None:
    """Write a model of architecture "llama".

    Its rotary positions rotate neighbouring numbers, so that no weight has to be permuted. Input and output embeddings
    are the same tensor. The tokenizer has single bytes besides the words, so that every text can be tokenised.

    Parameters
    ----------
    weights : state of `training.network.Network`
    shape : of that network
    path : file to write
    quantisation : of the matrices; norms stay in single precision
    """
    kind, file_type = _TYPES[quantisation]
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name(TRAINED_HERE)
    writer.add_license("apache-2.0")
    writer.add_context_length(_MAX_CASE * LENGTH_CASE)
    writer.add_embedding_length(shape.width)
    writer.add_block_count(shape.depth)
    writer.add_feed_forward_length(shape.num_hidden)
    writer.add_head_count(shape.num_head)
    writer.add_head_count_kv(shape.num_kv_head)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(shape.head_width)
    writer.add_rope_freq_base(shape.rope_base)
    writer.add_file_type(file_type)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    _add_tokenizer(writer)
    for name, tensor in weights.items():
        values = tensor.detach().float().numpy()
        as_is = values.ndim == 1 or quantisation == "F32"
        data = values if as_is else gguf.quants.quantize(values, kind)
        writer.add_tensor(name, data, raw_dtype=gguf.GGMLQuantizationType.F32 if as_is else kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _add_tokenizer(writer: gguf.GGUFWriter) -> None:
    words = token_texts()
    texts = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(NUM_TEXT - NUM_SPECIAL)), *words]
    kinds = [gguf.TokenType.UNKNOWN, gguf.TokenType.CONTROL, gguf.TokenType.CONTROL]
    kinds += [gguf.TokenType.BYTE] * (NUM_TEXT - NUM_SPECIAL) + [gguf.TokenType.USER_DEFINED] * len(words)
    writer.add_tokenizer_model("llama")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(texts)
    writer.add_token_scores(np.zeros(len(texts)).tolist())
    writer.add_token_types(kinds)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_add_bos_token(False)
    writer.add_add_space_prefix(False)
