"""Makes a tiny Gemma 3 with random weights, laid out as on the hub: `python tiny_gemma.py FOLDER`, by vLLM's python.

Its words mean nothing, but an answer of it is one sentence, which depends on the picture, and then ends.
"""

import json
import re
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import Gemma3Config, Gemma3ForConditionalGeneration

SPECIAL = ["<pad>", "<eos>", "<bos>", "<unk>", "<start_of_turn>", "<end_of_turn>"]
IMAGE = ["<start_of_image>", "<end_of_image>", "<image_soft_token>"]
NEWLINES = ["\n" * count for count in range(1, 5)]
SENTENCES = [f" Thing {number} is grey." for number in range(1500)]
TEMPLATE = """{{ bos_token }}{%- for message in messages -%}
{{ '<start_of_turn>' + ('model' if message['role'] == 'assistant' else message['role']) }}{{ '\\n' -}}
{%- if message['content'] is string -%}{{ message['content'] }}{%- else -%}
{%- for item in message['content'] -%}
{%- if item['type'] == 'image' -%}{{ '<start_of_image>' }}{%- else -%}{{ item['text'] }}{%- endif -%}
{%- endfor -%}{%- endif -%}
{{ '<end_of_turn>' + '\\n' }}{%- endfor -%}
{%- if add_generation_prompt -%}{{ '<start_of_turn>model' + '\\n' }}{%- endif -%}"""


def write_tokenizer(folder):
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={letter: place for place, letter in enumerate(alphabet)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in SPECIAL + IMAGE])
    tokenizer.add_tokens([AddedToken(token, normalized=False) for token in NEWLINES + SENTENCES])
    tokenizer.save(str(folder / "tokenizer.json"))
    image = {"boi_token": IMAGE[0], "eoi_token": IMAGE[1], "image_token": IMAGE[2]}
    about = {"tokenizer_class": "PreTrainedTokenizerFast", "processor_class": "Gemma3Processor"}
    about |= {"bos_token": "<bos>", "eos_token": "<eos>", "pad_token": "<pad>", "unk_token": "<unk>"}
    about |= {"extra_special_tokens": image, "clean_up_tokenization_spaces": False, "model_max_length": 4096}
    about["chat_template"] = TEMPLATE
    (folder / "tokenizer_config.json").write_text(json.dumps(about))
    return tokenizer


def write_processor(folder, side_px, tokens):
    image = {"image_processor_type": "Gemma3ImageProcessor", "processor_class": "Gemma3Processor"}
    image |= {"do_convert_rgb": True, "do_resize": True, "size": {"height": side_px, "width": side_px}, "resample": 2}
    image |= {"do_rescale": True, "rescale_factor": 1 / 255, "do_normalize": True, "do_pan_and_scan": None}
    image |= {"image_mean": [0.5] * 3, "image_std": [0.5] * 3, "image_seq_length": tokens}
    (folder / "preprocessor_config.json").write_text(json.dumps(image))
    about = {"processor_class": "Gemma3Processor", "image_seq_length": tokens}
    (folder / "processor_config.json").write_text(json.dumps(about))


def write_model(folder, tokenizer, side_px, tokens):
    size = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4}
    text = size | {"num_key_value_heads": 2, "head_dim": 32, "vocab_size": tokenizer.get_vocab_size()}
    text |= {"max_position_embeddings": 4096, "sliding_window": 512, "query_pre_attn_scalar": 32}
    config = Gemma3Config(
        text_config=text,
        vision_config=size | {"image_size": side_px, "patch_size": 14},
        mm_tokens_per_image=tokens,
        boi_token_index=tokenizer.token_to_id(IMAGE[0]),
        eoi_token_index=tokenizer.token_to_id(IMAGE[1]),
        image_token_index=tokenizer.token_to_id(IMAGE[2]),
        eos_token_id=[tokenizer.token_to_id("<eos>"), tokenizer.token_to_id("<end_of_turn>")],
        pad_token_id=tokenizer.token_to_id("<pad>"),
        bos_token_id=tokenizer.token_to_id("<bos>"),
        initializer_range=0.3,
    )
    config.architectures = ["Gemma3ForConditionalGeneration"]
    config.dtype = torch.bfloat16
    config.save_pretrained(folder)
    torch.manual_seed(0)
    model = Gemma3ForConditionalGeneration(config)
    lead(model.get_input_embeddings().weight.data, tokenizer)
    model.model.multi_modal_projector.mm_input_projection_weight.data.normal_()  # zero would see nothing
    weights = model.to(torch.bfloat16).state_dict()
    weights = {hub_name(name): value.contiguous() for name, value in weights.items() if name != "lm_head.weight"}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def lead(embeddings, tokenizer):
    """Change embeddings, which are also what is said, so that a sentence follows the prompt, and the end a sentence.

    Letters have none: most are bytes that are no text by themselves.
    """
    begins, spoken = 0, 1  # directions: of what stands behind the prompt, and of what was said
    embeddings *= 0.1  # or else each token says itself again
    embeddings[[tokenizer.token_to_id(letter) for letter in pre_tokenizers.ByteLevel.alphabet()]] = 0
    sentences, end = [tokenizer.token_to_id(text) for text in SENTENCES], tokenizer.token_to_id("<end_of_turn>")
    embeddings[tokenizer.token_to_id("\n"), begins] = 1.0
    embeddings[sentences, begins], embeddings[sentences, spoken] = 3.0, 4.0
    embeddings[end, begins], embeddings[end, spoken] = -3.0, 10.0


def hub_name(name):
    """The name under which the hub has a weight."""
    name = re.sub(r"^model\.language_model\.", "language_model.model.", name)
    name = re.sub(r"^model\.vision_tower\.(?!vision_model\.)", "vision_tower.vision_model.", name)
    return name.removeprefix("model.")


if __name__ == "__main__":
    place = Path(sys.argv[1])
    place.mkdir(parents=True, exist_ok=True)
    write_processor(place, side_px=112, tokens=16)
    write_model(place, write_tokenizer(place), side_px=112, tokens=16)
