"""The parts of the wallet stack as modules of an orchestrator: ``python -m sdk.devnet.system.modules.NAME``.

Each is the component itself, opened with the settings its environment holds, behind the wire of the module runtime.
"""
