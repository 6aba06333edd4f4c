/* Recurses until the stack ends. */
static int deeper(int n)
{
	volatile char frame[4096];

	frame[n & 4095] = (char)n;
	return deeper(n + 1) + frame[7];
}

int main(void)
{
	return deeper(0);
}
