/* The program that the exec rows start. */
int main(void)
{
	return 0;
}
