//! Claims about this part; see the module of the same name.
