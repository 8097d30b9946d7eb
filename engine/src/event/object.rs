//! Events as JSON objects.
