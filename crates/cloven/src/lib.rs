//! cloven
