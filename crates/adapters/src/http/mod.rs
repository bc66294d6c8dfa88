//! HTTP: actix handlers around the use cases.
