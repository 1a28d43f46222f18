"""What src/crossed.py has measured: a deep plain network from one initialisation with the gradients' lengths of another."""

# written before any of these had run, when the results of src/equalised.py were known
PREDICTION = """\
*Predicted*, before any of these had run, from what equalised gradients do: with He's lengths the Dirac initialisation
does not start to train with any seed; with the lengths of Dirac's, He's starts with at least one seed, and its mean
training error stays above 20 %."""
