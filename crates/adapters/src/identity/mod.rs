//! Identity providers behind the identity port.
