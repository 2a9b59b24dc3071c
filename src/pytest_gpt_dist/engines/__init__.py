"""Names of engines and of what they implement, under which users import them."""
