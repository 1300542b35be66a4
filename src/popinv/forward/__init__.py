"""Forward models: from the parameters of one physical system to its noise-free observations.

``base`` states what every model keeps to; each other module holds one model or a part of one.
Import the module you need: some of them import a finite-element package, which takes seconds.
"""
