"""Networks: the frozen CLIP that training aligns to, and the point encoder that is trained."""
