package buffer

func child(dir string) int { return 0 }
