"""NF4 quantization with double quantization. Stands alone: knows nothing of minigpt."""
