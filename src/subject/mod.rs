//! Subjects: validity, tokens, matching, the index.
