package router

// Intakes returns the names of the inputs that have an intake.
func (r *Router) Intakes() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []string
	for name := range r.intakes {
		out = append(out, name)
	}
	return out
}
