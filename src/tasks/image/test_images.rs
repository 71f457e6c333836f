//! Images for the tests.
