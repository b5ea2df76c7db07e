"""Random views of labelled pictures, as the paper's recipe draws them."""
