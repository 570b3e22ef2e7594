"""Generated from Proto/ by generate.sh; not part of the public API, which is `hubaudit.v1`."""

from google.protobuf import descriptor_pool

# Of the package alone: other code in the process may have generated modules of its own from another version of Proto/.
POOL = descriptor_pool.DescriptorPool()
