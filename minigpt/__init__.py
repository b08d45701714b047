"""minigpt: a GPT-2 decoder and what a course on fine-tuning language models builds around it.

Start reading at minigpt/model.py, or run `minigpt course`.
"""
