"""Words to numbers: cleaning, languages, word vectors, a codebook."""
