"""Forward models: from the parameters of one physical system to its noise-free observations.

``base`` states what every model keeps to, and ``registry`` which kinds there are. The kinds of this
package are simulators of the user's own; other packages add further ones.
"""
