"""A Kubernetes cluster. The interface and its values are re-exported here from `cluster_interface`."""

from kfold.stores.cluster_interface import (
    FIELD_MANAGER,
    ClusterError,
    ClusterIdentity,
    ClusterStore,
    Deletion,
    FieldConflict,
    LineStream,
    ObjectRef,
    ObjectReplaced,
    ObjectState,
    OwnedField,
    Propagation,
    UnknownKind,
)

__all__ = [
    "FIELD_MANAGER",
    "ClusterError",
    "ClusterIdentity",
    "ClusterStore",
    "Deletion",
    "FieldConflict",
    "LineStream",
    "ObjectRef",
    "ObjectReplaced",
    "ObjectState",
    "OwnedField",
    "Propagation",
    "UnknownKind",
]
