"""What happens after the cut, and to the control: the only training loop, recipes by name."""
