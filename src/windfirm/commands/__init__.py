"""One module a command: ``run(args)`` does the work and prints. The options are declared in cli.py."""
