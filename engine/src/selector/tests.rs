//! Selectors against the plainest matcher there is, and the index against asking each.

use super::*;
