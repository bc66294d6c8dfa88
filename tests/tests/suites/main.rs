//! The black-box suites, one binary.

mod storage;
