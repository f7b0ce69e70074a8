"""What each part costs, and which is the bottleneck; the commands stand here, and behind them:

instruments/    how everything is measured: harness, clocks, datasets to measure on
prediction/     from measured parts to a step that was not measured
peer_loaders/   other toolkits' loaders, and the same training in PyTorch
reporting/      results -> documents
"""
