"""Small programs, one for each OAuth library, that play the cases of the suite as their users would write them."""
