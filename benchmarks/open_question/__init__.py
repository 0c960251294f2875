"""The open question: what is a scorer worth to a cascade if it knows who asks?

Models that are simulated, and say so, answer questions of customers that nobody trained on. Their
awareness of the customer rises with their prices, which are real. Scorers that see more or less of
the customer score the same answers, and the same optimiser makes policies of each one's scores.
"""
