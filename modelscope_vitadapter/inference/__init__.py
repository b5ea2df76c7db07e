"""From network inputs to a class per pixel: windows, score maps, decision, results."""
