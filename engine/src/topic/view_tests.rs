//! Views against the plainest model.
